"""Push notifications: a member's devices, the outbox, and Apple, Firebase and Web Push behind one interface.

Enters: a device's address; rows of the outbox, inserted with the prompts that they announce.
Leaves: constant payloads to providers; what became of each.
Writes: `devices`, `outbox` (`prompts` puts pushes in, and takes them out, with each change of their prompt).
Never imports: `prompts`, `recording`: it knows no question and no event.
"""

from typing import Any

from service.push.devices import list_devices, register_device, remove_device

ROUTES: list[Any] = [
    register_device,
    list_devices,
    remove_device,
]
