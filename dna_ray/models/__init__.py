"""Small convolutional networks in plain torch: the architectures of their papers, with a width of one's choice."""
