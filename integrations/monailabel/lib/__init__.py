"""Parts of the MONAI Label app; nothing of scanweave is imported here, it runs in an environment of its own."""
