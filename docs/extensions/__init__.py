"""What the site needs beside Sphinx, MyST-NB and the theme."""
