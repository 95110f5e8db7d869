"""Pushes: the devices of a member, the outbox, and Apple, Firebase and Web Push, each behind one sender.

Enters: a device's address; rows of the outbox, put there with the prompts that they tell of.
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
