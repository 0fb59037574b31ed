"""One module a command, each with add_arguments(parser) and run(arguments) -> exit code; cards, tables and baseline serve them."""
