"""Push: what wakes a device, without saying anything. Nothing here knows who asked, or why."""
