"""The disk: chunks made durable in order, resends known, damage mended. An acknowledgement follows the sync."""
