"""Networks on many devices: where every array is placed, what that costs, and the runtime.

`plan` derives bytes and communication from the report alone; `placing` makes the placement
real with `jax.sharding`, `cluster` joins several processes through `jax.distributed`.
"""
