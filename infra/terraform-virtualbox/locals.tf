locals {
  state_dir = abspath(var.state_dir)
  owner     = coalesce(var.owner, "${var.deployment}@${replace(abspath(var.state_dir), "/\\s/", "_")}")
  wrapper   = "${path.module}/vbox"
  operator  = "vigil-operator"

  # Raised when what a machine gets at its first boot changes so much that machines have to be made anew. The rest of
  # the seed (the sudo list, the administration program) reaches machines that exist by other ways.
  seed_format = 1

  prefix_length = tonumber(split("/", var.network)[1])
  gateway       = cidrhost(var.network, 1)

  # A forward's name to the role that has it (null: every machine) and the port in the machine.
  forwarded = {
    ssh           = { role = null, guest_port = 22 }
    kafka         = { role = "broker", guest_port = 9094 }
    elasticsearch = { role = "elasticsearch", guest_port = 9243 }
    kibana        = { role = "kibana", guest_port = 5601 }
  }

  machines = {
    for name, node in var.nodes : name => {
      vm_name = "${var.deployment}-${name}"
      # Outside the network, cidrhost() fails; the network's precondition says it better.
      address = try(cidrhost(var.network, node.number), "0.0.0.0")
      # VirtualBox's own prefix, two bytes of the deployment and one of the machine.
      mac    = join(":", concat(["08", "00", "27"], [for at in [0, 2] : substr(sha256(local.owner), at, 2)], [format("%02x", node.number)]))
      serial = "${local.state_dir}/machines/${name}/serial.log"
      forwards = {
        for forward, about in local.forwarded : forward => {
          host_port  = var.port_bases[forward] + node.number
          guest_port = about.guest_port
        } if about.role == null ? true : contains(node.roles, about.role)
      }
    }
  }

  host_ports = flatten([for name, machine in local.machines : [for forward in values(machine.forwards) : forward.host_port]])

  # As the program takes them.
  rules = {
    for name, machine in local.machines : name => [
      for forward, about in machine.forwards : {
        name          = "${local.machines[name].vm_name}-${forward}"
        host_port     = about.host_port
        guest_address = machine.address
        guest_port    = about.guest_port
      }
    ]
  }

  image = {
    source   = strcontains(var.image.source, "://") ? var.image.source : abspath(var.image.source)
    checksum = lower(var.image.checksum)
    format   = var.image.format
  }

  os_types = { debian = "Debian_64", ubuntu = "Ubuntu_64" }

  # What, when it changes, asks for a machine to be made anew. Not the SSH key, which is read at the first boot alone: a
  # machine that there is learns of another one over SSH (`vigil machines rotate ssh-key`).
  machine_facts = {
    for name, node in var.nodes : name => {
      owner       = local.owner
      vm_name     = local.machines[name].vm_name
      image       = local.image.checksum
      os_type     = local.os_types[var.guest_family]
      cpus        = node.cpus
      memory_mb   = node.memory_mb
      disk_gb     = node.disk_gb
      mac         = local.machines[name].mac
      address     = local.machines[name].address
      network     = var.network
      dns         = join(" ", var.dns)
      seed_format = local.seed_format
    }
  }

  seeds = {
    for name, machine in local.machines : name => {
      "meta-data" = templatefile("${path.module}/seed/meta-data.tftpl", {
        instance = substr(sha256(jsonencode(local.machine_facts[name])), 0, 16)
        name     = name
        vm_name  = machine.vm_name
      })
      "user-data" = templatefile("${path.module}/seed/user-data.tftpl", {
        name           = name
        deployment     = var.deployment
        operator       = local.operator
        ssh_public_key = trimspace(var.ssh_public_key)
        sudoers        = base64gzip(templatefile("${path.module}/seed/sudoers.tftpl", {}))
        programs       = local.programs
      })
      "network-config" = templatefile("${path.module}/seed/network-config.tftpl", {
        mac           = machine.mac
        address       = machine.address
        prefix_length = local.prefix_length
        gateway       = local.gateway
        dns           = var.dns
      })
    }
  }

  # Programs that the operator account may run as root.
  # Compressed: the whole seed goes to vbox/ in one variable of the environment, and Linux takes 128 KiB there.
  programs = {
    for name in ["admin", "install", "packages", "firewall"] :
    "/usr/local/sbin/vigil-${name}" => base64gzip(file("${path.module}/../machines/vigil_${name}.py"))
  }
}
