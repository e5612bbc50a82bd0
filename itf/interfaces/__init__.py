"""The three interfaces: mixins for errors, configuration changes and resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from itf._lazy_names import resolve_at_first_use

if TYPE_CHECKING:
    # For type checkers, which do not see __getattr__. A test compares it with _NAMES.
    from itf.interfaces.config_change import (
        ConfigChangeObserver as ConfigChangeObserver,
    )
    from itf.interfaces.error_propagation import (
        ErrorPropagationMixin as ErrorPropagationMixin,
    )
    from itf.interfaces.resource_tracking import (
        ResourceTracker as ResourceTracker,
    )

# Each module, and the public names that it defines.
_NAMES = {
    "itf.interfaces.config_change": ("ConfigChangeObserver",),
    "itf.interfaces.error_propagation": ("ErrorPropagationMixin",),
    "itf.interfaces.resource_tracking": ("ResourceTracker",),
}

__getattr__, __dir__, __all__ = resolve_at_first_use(__name__, _NAMES)
