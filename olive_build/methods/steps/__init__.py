"""The steps that methods are made of, each with the operators that it must leave behind."""
