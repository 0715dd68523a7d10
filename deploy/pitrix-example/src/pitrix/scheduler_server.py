"""Schedules; only its master does."""

from .elector import Elected


def main():
    Elected("scheduler_server").main()
