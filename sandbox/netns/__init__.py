"""The `netns` profile: every zone in a network namespace of its own, so that packets between zones can be lost.

plan.py   addresses and devices of one sandbox, a pure function of its zones
probe.py  whether this machine can do it, and how packets are to be lost here: by trying
build.py  the namespaces themselves, made and held by the node agent

Pods of a zone live in its namespace, with an address each. A veth pair leads to the host, where Toxiproxy, clients and
the node agent are: Toxiproxy stays the wire of every link, and what zone X dials to reach zone Y is an address of that
pair alone, on X's veth. Packets between X and Y are exactly those from and to the addresses (X, Y) and (Y, X).

Nothing has a name that could outlive the sandbox: a namespace is held by one process, and with its last process the
kernel takes the namespace, both ends of the veth, and every address, route and rule of it.
"""
