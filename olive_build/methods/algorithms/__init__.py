"""What quantizers compute on arrays and graphs; imported in workers only, since numpy is heavy."""
