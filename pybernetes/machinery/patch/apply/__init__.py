"""Server-side apply: who owns which field, and what an applier's word does to an object.

`managers` is the entry: `created`, `updated` and `applied` give the `metadata.managedFields` of a write, the last one the new
object, too. Below it `typed` compares and merges values by their shape (`machinery/schema/shapes.py`), and `fieldsets` holds
the algebra of sets of fields.

The rules, in short. Each manager owns a set of fields. Whoever changes a field by an ordinary write owns it from then on, and
nobody else does. Who applies owns exactly what the applied configuration says: what another one owns may not be changed
(conflict) unless by force, which takes it away; what the same applier gave last time and leaves out now is removed, unless
somebody else owns it still.

Source: API reference, "Server-Side Apply"; KEP-555.
"""
