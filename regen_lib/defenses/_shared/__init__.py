"""What several defences use."""
