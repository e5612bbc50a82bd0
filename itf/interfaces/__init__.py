"""The three interfaces, as mixins for any class: errors, configuration, resources."""

# error_propagation.py   errors on their way across modules
# config_change.py       configuration that changes at run time
# resource_tracking.py   who owns what, and what leaked
# callbacks.py           callbacks in the order in which they were registered
# watched_config.py      mappings and lists that tell of their changes
