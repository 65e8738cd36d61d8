"""Rules about the incidents of other rules: composite and flapping. Pure."""
