pytest_plugins = ["fixtures.stages", "fixtures.pipelines"]  # plain "fixtures" would name a plugin of pytest's own
