"""What plugins with neural networks share: where the networks run, how they are fed, their weights.

A layer between core, which never imports torch, and the plugins, which never import each other.
"""
