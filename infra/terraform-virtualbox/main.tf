# Each resource is one call of vbox/ at its making and one at its end. The order of making is: network (which names host
# ports in use before anything is there), forwards, image, machines. What the end needs is in `input`, since a destroy
# provisioner sees nothing else; what asks for a resource to be made anew is in `triggers_replace`, since a change of
# `input` alone calls nothing.

resource "terraform_data" "network" {
  input = {
    owner     = local.owner
    state_dir = local.state_dir
    python    = var.python
    network   = { name = var.deployment, cidr = var.network }
  }
  triggers_replace = { owner = local.owner, name = var.deployment, cidr = var.network }

  lifecycle {
    precondition {
      condition     = alltrue([for node in values(var.nodes) : can(cidrhost(var.network, node.number)) && node.number < pow(2, 32 - local.prefix_length) - 1])
      error_message = "nodes: a number lies outside the network ${var.network}."
    }
    precondition {
      condition     = length(distinct(local.host_ports)) == length(local.host_ports) && max(local.host_ports...) <= 65535
      error_message = "port_bases: two forwards would have the same host port, or one is above 65535: ${join(", ", local.host_ports)}."
    }
  }

  provisioner "local-exec" {
    quiet       = true
    interpreter = [self.input.python, local.wrapper]
    command     = "network-up"
    environment = { VBOX_SPEC = jsonencode(merge(self.input, { network = merge(self.input.network, { ports = local.host_ports }) })) }
  }
  provisioner "local-exec" {
    when        = destroy
    quiet       = true
    interpreter = [self.input.python, "${path.module}/vbox"]
    command     = "network-down"
    environment = { VBOX_SPEC = jsonencode(self.input) }
  }
}

resource "terraform_data" "forwards" {
  for_each = local.machines
  input = {
    owner     = local.owner
    state_dir = local.state_dir
    python    = var.python
    network   = { name = var.deployment, cidr = var.network }
    machine   = { name = each.key }
  }
  # A network that was made anew has none.
  triggers_replace = { network = terraform_data.network.id, rules = local.rules[each.key] }

  provisioner "local-exec" {
    quiet       = true
    interpreter = [self.input.python, local.wrapper]
    command     = "forwards-up"
    environment = { VBOX_SPEC = jsonencode(merge(self.input, { forwards = local.rules[each.key] })) }
  }
  provisioner "local-exec" {
    when        = destroy
    quiet       = true
    interpreter = [self.input.python, "${path.module}/vbox"]
    command     = "forwards-down"
    environment = { VBOX_SPEC = jsonencode(self.input) }
  }
}

resource "terraform_data" "image" {
  # Only after the host ports are known to be free: fetching takes minutes.
  depends_on = [terraform_data.forwards]
  input = {
    owner     = local.owner
    state_dir = local.state_dir
    python    = var.python
    image     = local.image
  }
  triggers_replace = { checksum = local.image.checksum, state_dir = local.state_dir }

  provisioner "local-exec" {
    quiet       = true
    interpreter = [self.input.python, local.wrapper]
    command     = "image-up"
    environment = { VBOX_SPEC = jsonencode(self.input) }
  }
  provisioner "local-exec" {
    when        = destroy
    quiet       = true
    interpreter = [self.input.python, "${path.module}/vbox"]
    command     = "image-down"
    environment = { VBOX_SPEC = jsonencode(self.input) }
  }
}

resource "terraform_data" "machine" {
  for_each   = local.machines
  depends_on = [terraform_data.network, terraform_data.forwards, terraform_data.image]
  input = {
    owner     = local.owner
    state_dir = local.state_dir
    python    = var.python
    machine   = { name = each.key, vm_name = each.value.vm_name, stop_timeout_s = var.stop_timeout_s }
  }
  triggers_replace = local.machine_facts[each.key]

  provisioner "local-exec" {
    quiet       = true
    interpreter = [self.input.python, local.wrapper]
    command     = "machine-up"
    environment = {
      VBOX_SPEC = jsonencode(merge(self.input, {
        network = { name = var.deployment, cidr = var.network }
        image   = local.image
        seed    = local.seeds[each.key]
        machine = merge(self.input.machine, {
          os_type     = local.os_types[var.guest_family]
          cpus        = var.nodes[each.key].cpus
          memory_mb   = var.nodes[each.key].memory_mb
          disk_gb     = var.nodes[each.key].disk_gb
          mac         = each.value.mac
          fingerprint = sha256(jsonencode(local.machine_facts[each.key]))
        })
      }))
    }
  }
  provisioner "local-exec" {
    when        = destroy
    quiet       = true
    interpreter = [self.input.python, "${path.module}/vbox"]
    command     = "machine-down"
    environment = { VBOX_SPEC = jsonencode(self.input) }
  }
}
