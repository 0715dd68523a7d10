"""Bills; only its master does."""

from .elector import Elected


def main():
    Elected("billing_daemon").main()
