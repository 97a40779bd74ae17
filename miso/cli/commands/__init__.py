"""What each command does. These modules import PyTorch; the parser imports them when a command runs."""
