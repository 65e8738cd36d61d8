"""What rules that count or remember hold, and what they conclude: windows, silence, values seen. Pure."""
