"""The life of a day's index: made ahead, merged, finished, kept in a snapshot, deleted; and the disk beneath it."""
