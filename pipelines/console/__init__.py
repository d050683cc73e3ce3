"""What a person sees: progress, reports, pictures."""
