output "inventory" {
  description = "The machines and how they are reached, in the form that `vigil` and the target `inventory` take."
  value = {
    deployment = var.deployment
    network    = var.network
    machines = {
      for name, machine in local.machines : name => {
        address  = machine.address
        roles    = var.nodes[name].roles
        user     = local.operator
        ssh      = { host = "127.0.0.1", port = machine.forwards.ssh.host_port }
        forwards = machine.forwards
        serial   = machine.serial
        mac      = machine.mac
      }
    }
  }
}

output "endpoints" {
  description = "What answers on this host, by name of the forward: addresses on 127.0.0.1."
  value = {
    for forward, about in local.forwarded : forward => {
      for name, machine in local.machines : name => "127.0.0.1:${machine.forwards[forward].host_port}"
      if can(machine.forwards[forward])
    }
  }
}

output "deployment" {
  description = "What `python vbox drift` compares with what is there. `terraform` names addresses for -replace."
  value = {
    owner     = local.owner
    state_dir = local.state_dir
    network   = { name = var.deployment, cidr = var.network, ports = local.host_ports, terraform = "terraform_data.network" }
    image     = merge(local.image, { terraform = "terraform_data.image" })
    machines = {
      for name, machine in local.machines : name => {
        vm_name            = machine.vm_name
        forwards           = local.rules[name]
        terraform          = "terraform_data.machine[\"${name}\"]"
        terraform_forwards = "terraform_data.forwards[\"${name}\"]"
      }
    }
  }
}
