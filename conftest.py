pytest_plugins = ["fixtures.stages"]  # plain "fixtures" would name a plugin of pytest's own
