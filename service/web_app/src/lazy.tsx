// A screen whose code is loaded when it is first looked at; without a network it comes from the service worker.
import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { t } from "./texts/texts";

export function lazy<P extends object>(load: () => Promise<FunctionComponent<P>>): FunctionComponent<P> {
  let loaded: FunctionComponent<P> | undefined;
  return function Lazy(props: P) {
    const [, draw] = useState(0);
    useEffect(() => {
      if (!loaded) void load().then((found) => { loaded = found; draw((n) => n + 1); });
    }, []);
    if (!loaded) return <main id="content"><p class="quiet">{t.loading}</p></main>;
    const Loaded = loaded;
    return <Loaded {...props} />;
  };
}
