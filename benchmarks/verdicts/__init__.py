"""How often the gates err, measured on recorded decisions of the shipped ``commands`` build."""
