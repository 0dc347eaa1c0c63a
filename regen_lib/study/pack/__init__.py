"""What a finished study hands on: all that its stages trained, in one archive with a card for each file."""
