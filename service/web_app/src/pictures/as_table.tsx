// The numbers of a picture as a table, folded away below it: for who reads it so, by eye, by keyboard or by ear.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../texts/texts";

/** Its rows are made once somebody opens it: there are hundreds of them. */
export function AsTable({ of, head, rows }: { of: string; head: readonly string[]; rows: () => ComponentChildren }) {
  const [isOpen, open] = useState(false);
  return (
    <details onToggle={(event) => open(event.currentTarget.open)}>
      <summary>{t.as_table}</summary>
      {isOpen && (
        <div class="scrolls" tabIndex={0} role="region" aria-label={`${t.as_table}: ${of}`}>
          <table>
            <caption class="hidden">{of}</caption>
            <thead>
              <tr>{head.map((one) => <th key={one} scope="col">{one}</th>)}</tr>
            </thead>
            <tbody>{rows()}</tbody>
          </table>
        </div>
      )}
    </details>
  );
}
