"""What happened to incidents and nodes, made searchable: from `incident-events` and `node-status` to documents."""
