"""What joinlab starts in a node: the agent (pid 1 there) and the apps it forks.

Standard library and ``multipoint`` only: it runs in an image of the user's, where nothing else need be installed.
"""
