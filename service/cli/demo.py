"""The command demo: serve, on data of its own, with a synthetic couple."""

import threading
from datetime import timedelta
from pathlib import Path

import httpx

from service import logs
from service.app import create_app
from service.cli import demo_couple
from service.cli.database import key_store, lasting_database
from service.cli.serve import address, at_port_of, greeting, listening, run
from service.core.clock import utc_now
from service.settings import Settings

DEMO_DATA_DIR = Path(".demo-data")
DEMO_ACCESS_TTL = timedelta(days=1)  # nobody is behind the couple, and who looks around is not to sign in again


def run_demo(settings: Settings) -> None:
    """Serve a synthetic couple, recorded through the API, on data of its own."""
    logs.configure(settings.model_copy(update={"log_level": "warning"}))
    if "data_dir" not in settings.model_fields_set:
        settings = settings.model_copy(update={"data_dir": DEMO_DATA_DIR})
    mailer = demo_couple.DemoMailer()
    with lasting_database(settings) as url, listening(settings) as listener:
        settings = at_port_of(listener, settings)
        none = {"sign_ins_per_hour": 0, "requests_per_minute": 0, "entries_per_minute": 0}
        unlimited = settings.model_copy(update=none)
        app = create_app(url, unlimited, mailer, key_store(settings), with_prompts=True, access_ttl=DEMO_ACCESS_TTL)
        run(app, listener, lambda: _load_beside(settings, mailer), app.end_streams)


def _load_beside(settings: Settings, mailer: demo_couple.DemoMailer) -> None:
    """Record the couple from a thread of its own, through the address that phones use."""
    print(greeting(settings), flush=True)
    threading.Thread(target=_load, args=(address(settings), mailer), daemon=True).start()


def _load(address: str, mailer: demo_couple.DemoMailer) -> None:
    with httpx.Client(base_url=address, timeout=30) as http:
        try:
            couple = demo_couple.load(http, mailer, utc_now())
            print(demo_couple.instructions(couple, address, utc_now()) + "\nCtrl-C stops it.", flush=True)
            demo_couple.ask_for_a_prompt(couple, utc_now())
        except (httpx.HTTPError, demo_couple.DemoFailed) as error:
            # Most likely it was stopped while it was loading.
            print(f"The synthetic year is not complete ({type(error).__name__}); the next start records one anew.")
            return
    print("The second one (synthetic) has shared a walk: a prompt for the first one arrives in a moment.", flush=True)
