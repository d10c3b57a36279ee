import click


@click.group("models")
def command() -> None:
    """Show, fetch and check networks."""
