"""What people move with the mouse: the slider, the playground, its page, the rating study."""
