"""Classes of opcodes, which decide before which instructions a thread may be preempted."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Final

__all__ = ["INTERNAL", "LOCAL", "SHARED", "switch_points_of", "unknown_opcodes"]

__unittest = True

# Instructions that read and write only the thread's own stack and local variables.
# Other threads cannot observe when they run, so a thread is not preempted before them.
# `_local_opcodes` adds the opcodes that `dis` lists as local.
_LOCAL_BY_NAME: Final = frozenset(
    """
    COPY COPY_FREE_VARS END_FOR END_SEND LOAD_ASSERTION_ERROR LOAD_CLOSURE
    LOAD_COMMON_CONSTANT LOAD_SMALL_INT LOAD_SPECIAL MAKE_CELL MAKE_FUNCTION NOP NOT_TAKEN
    POP_EXCEPT POP_ITER POP_TOP PRECALL PUSH_EXC_INFO PUSH_NULL RESUME RETURN_GENERATOR
    RETURN_VALUE SET_FUNCTION_ATTRIBUTE SWAP
    """.split()  # noqa: SIM905 - as text it can be read
)
# LOAD_SPECIAL (3.14) looks up `__enter__` and `__exit__` for `with`; CALL follows and has a
# switch point.  Until 3.13 BEFORE_WITH did both, with one switch point.

# Jumps that call no code and test no object except None: unconditional ones, `if x is None`.
_PLAIN_JUMPS: Final = frozenset(
    """
    JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD POP_JUMP_BACKWARD_IF_NONE
    POP_JUMP_BACKWARD_IF_NOT_NONE POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE
    POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE
    """.split()  # noqa: SIM905 - as text it can be read
)

# Since Python 3.13, TO_BOOL calls `__bool__` before these opcodes, so they are local.  In
# older Pythons they call `__bool__` themselves, so they are shared.
_AFTER_TO_BOOL: Final = frozenset({"POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "UNARY_NOT"})
_HAS_TO_BOOL: Final = "TO_BOOL" in dis.opmap

# Instructions that read or write objects of other threads, or that may call code that does:
# globals, cells, attributes, items, iterators, operators, imports, exceptions, awaitables.
SHARED: Final = frozenset(
    """
    ASYNC_GEN_WRAP BEFORE_ASYNC_WITH BEFORE_WITH BINARY_OP BINARY_SLICE BINARY_SUBSCR
    BUILD_CONST_KEY_MAP BUILD_INTERPOLATION BUILD_LIST BUILD_MAP BUILD_SET BUILD_SLICE
    BUILD_STRING BUILD_TEMPLATE BUILD_TUPLE CALL CALL_FUNCTION_EX CALL_INTRINSIC_1
    CALL_INTRINSIC_2 CALL_KW CHECK_EG_MATCH CHECK_EXC_MATCH CLEANUP_THROW COMPARE_OP
    CONTAINS_OP CONVERT_VALUE DELETE_ATTR DELETE_DEREF DELETE_GLOBAL DELETE_NAME DELETE_SUBSCR
    DICT_MERGE DICT_UPDATE END_ASYNC_FOR FORMAT_SIMPLE FORMAT_VALUE FORMAT_WITH_SPEC FOR_ITER
    GET_AITER GET_ANEXT GET_AWAITABLE GET_ITER GET_LEN GET_YIELD_FROM_ITER IMPORT_FROM
    IMPORT_NAME IMPORT_STAR IS_OP JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP LIST_APPEND
    LIST_EXTEND LIST_TO_TUPLE LOAD_ATTR LOAD_BUILD_CLASS LOAD_CLASSDEREF LOAD_DEREF
    LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS LOAD_GLOBAL LOAD_LOCALS LOAD_METHOD
    LOAD_NAME LOAD_SUPER_ATTR MAP_ADD MATCH_CLASS MATCH_KEYS MATCH_MAPPING MATCH_SEQUENCE
    POP_JUMP_BACKWARD_IF_FALSE POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_FORWARD_IF_FALSE
    POP_JUMP_FORWARD_IF_TRUE PREP_RERAISE_STAR PRINT_EXPR RAISE_VARARGS RERAISE SEND
    SETUP_ANNOTATIONS SET_ADD SET_UPDATE STORE_ATTR STORE_DEREF STORE_GLOBAL STORE_NAME
    STORE_SLICE STORE_SUBSCR TO_BOOL UNARY_INVERT UNARY_NEGATIVE UNARY_POSITIVE UNPACK_EX
    UNPACK_SEQUENCE WITH_EXCEPT_START YIELD_VALUE
    """.split()  # noqa: SIM905 - as text it can be read
) | (frozenset() if _HAS_TO_BOOL else _AFTER_TO_BOOL)

# Opcodes that occur in no code object, or as a part of another instruction: caches, the
# interpreter's entry and exit, traces of the JIT compiler.
INTERNAL: Final = frozenset(
    """
    CACHE ENTER_EXECUTOR EXIT_INIT_CHECK EXTENDED_ARG INTERPRETER_EXIT RESERVED TRACE_RECORD
    """.split()  # noqa: SIM905 - as text it can be read
)

# An opcode in a code object is one byte.  Higher numbers in `dis.opmap` are
# pseudo-instructions, which exist inside the compiler only.
_HIGHEST_OPCODE: Final = 255


def _local_opcodes() -> frozenset[str]:
    """Return the names of the opcodes of this Python that access local state only.

    Most are in `dis.haslocal` or `dis.hasconst`.  Since 3.14 LOAD_DEREF is in
    `dis.haslocal`, too, but nested functions share the cell that it reads.
    """
    derived = {dis.opname[number] for number in (*dis.haslocal, *dis.hasconst)}
    foreign = {dis.opname[number] for number in (*dis.hasname, *dis.hasfree, *dis.hasjrel)}
    local = {name for name in derived - foreign - SHARED if "DEREF" not in name}
    return frozenset(local | _LOCAL_BY_NAME | (_AFTER_TO_BOOL if _HAS_TO_BOOL else set()))


LOCAL: Final = _local_opcodes()

_NO_SWITCH: Final = LOCAL | _PLAIN_JUMPS | INTERNAL
_JUMPS: Final = frozenset({*dis.hasjrel, *dis.hasjabs})


def switch_points_of(code: CodeType) -> frozenset[int]:
    """Return the switch points: offsets of instructions before which a thread may be preempted.

    An unknown opcode is a switch point.  A jump backwards is one, too: without a switch
    point, an endless loop could not be ended.  If an instruction has EXTENDED_ARG
    prefixes, the offset is that of the first prefix, the only one that Python 3.11
    traces.
    """
    points = set()
    start = None
    for instruction in dis.get_instructions(code):
        if start is None:
            start = instruction.offset
        if instruction.opname == "EXTENDED_ARG":
            continue
        if instruction.opname not in _NO_SWITCH or _is_jump_back(instruction):
            points.add(start)
        start = None
    return frozenset(points)


def _is_jump_back(instruction: dis.Instruction) -> bool:
    # `argval` of a jump is the offset of its target.
    return instruction.opcode in _JUMPS and instruction.argval <= instruction.offset


def unknown_opcodes() -> list[str]:
    """Return the opcodes of this Python that are in no class, which a test forbids."""
    return sorted({*_real_opcodes()} - _NO_SWITCH - SHARED)


def _real_opcodes() -> Iterator[str]:
    for name, number in dis.opmap.items():
        # `dis` shows the original opcode in place of an instrumented one.
        if number <= _HIGHEST_OPCODE and not name.startswith("INSTRUMENTED_"):
            yield name
