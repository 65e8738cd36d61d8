"""What each plugin may be given: parameters and sections of an `@type`, typed."""
