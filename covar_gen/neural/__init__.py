"""What plugins with neural networks share: where the networks run, how they are fed, their weights.

A layer between core, which never imports torch, and the plugins, which never import each other.
"""

import logging

# Where it is installed, diffusers imports it, and on some processors it remarks, on every import,
# that it could fetch faster code from the Hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
