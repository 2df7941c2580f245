"""Mutation testing of the statistics and of the methods: seeded mutants, each run against the tests of its module."""
