"""The source of a stub: a worker class, and the types that it takes and gives, written from what is registered.

`stub_source` is a pure function of what `component.list` says of a component: JSON Schemas, as msgspec makes them, and
nothing of the machine or the moment, so that writing a stub again gives the same text. A stub is an interface: it
takes and gives the JSON that the worker does, under names and types that a type checker knows. What does not get
through a JSON Schema is replaced as follows.

- Constraints (`minimum`, `maxLength`, a time zone, ...) are left out: the worker checks them at its door.
- Dataclasses, typed dictionaries and structs come out as attrs classes; as a `msgspec.Struct` where one is told from
  others by a tag, or where a name in the JSON cannot be that of an attribute or begins with an underscore. Named tuples
  and structs that are arrays come out as named tuples, their items without names.
- The members of an enum are named after their values; keys of dictionaries are strings.
- A default that is made anew for each instance is not told: that of a list, set or dictionary is taken to be an empty
  one. Any other default that cannot be written is left out of what is sent, and the worker uses its own.
- What says nothing is `Any`, and so is a union of which msgspec could not tell the members apart.
"""

from __future__ import annotations

from promissory.executor.stubgen.module import stub_source

__all__ = ["stub_source"]
