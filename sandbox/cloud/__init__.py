"""The cloud of the sandbox: moto, seeded with the sandbox's world, and a reconciler that makes its changes real.

Every node is an EC2 instance. Whoever stops one, cuts a subnet off by its network ACL, takes a target out of the load
balancer or changes a record, by the AWS CLI, boto3 or any chaos tool, does it to the sandbox's processes.
"""
