# Plans alone: nothing is made. `terraform test` (or `tofu test`) in the folder above.

variables {
  state_dir      = "/var/empty/vigil"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me@here"
  image = {
    source   = "/images/debian-12-generic-amd64.tar.xz"
    checksum = "sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "two_machines" {
  command = plan

  assert {
    condition     = output.inventory.machines.producer.address == "10.77.0.11" && output.inventory.machines.consumer.address == "10.77.0.12"
    error_message = "Addresses follow from numbers."
  }
  assert {
    condition = output.inventory.machines.producer.forwards == {
      ssh   = { host_port = 2211, guest_port = 22 }
      kafka = { host_port = 19011, guest_port = 9094 }
    }
    error_message = "The producer machine has SSH and a broker."
  }
  assert {
    condition     = join(" ", keys(output.inventory.machines.consumer.forwards)) == "elasticsearch kafka kibana ssh"
    error_message = "The consumer machine has a forward for each of its roles."
  }
  assert {
    condition     = output.inventory.machines.producer.ssh == { host = "127.0.0.1", port = 2211 }
    error_message = "Machines are reached on the loopback."
  }
  assert {
    condition     = output.endpoints.elasticsearch == { consumer = "127.0.0.1:19212" }
    error_message = "End points are on the loopback."
  }
  assert {
    condition     = length(distinct(local.host_ports)) == 6
    error_message = "Host ports differ."
  }
  assert {
    condition     = length(distinct([for machine in values(output.inventory.machines) : machine.mac])) == 2
    error_message = "MAC addresses differ."
  }
  assert {
    condition     = alltrue([for machine in values(output.inventory.machines) : can(regex("^08:00:27(:[0-9a-f]{2}){3}$", machine.mac))])
    error_message = "MAC addresses are VirtualBox's, lower case with colons."
  }
  assert {
    condition     = alltrue([for seed in values(local.seeds) : can(yamldecode(seed["user-data"])) && can(yamldecode(seed["network-config"])) && can(yamldecode(seed["meta-data"]))])
    error_message = "Seeds are YAML."
  }
  assert {
    condition     = yamldecode(local.seeds.producer["network-config"]).ethernets.vigil.match.macaddress == output.inventory.machines.producer.mac
    error_message = "The network is set up on the adapter with the machine's MAC address."
  }
  assert {
    condition     = yamldecode(local.seeds.producer["network-config"]).ethernets.vigil.routes == [{ to = "0.0.0.0/0", via = "10.77.0.1" }]
    error_message = "The route leads over the first address."
  }
}

run "five_machines" {
  command = plan
  variables {
    deployment = "big"
    network    = "192.168.40.0/25"
    dns        = ["9.9.9.9", "149.112.112.112"]
    port_bases = { ssh = 3000 }
    nodes = {
      c1 = { number = 10, roles = ["controller", "broker"], cpus = 1, memory_mb = 2048 }
      c2 = { number = 11, roles = ["controller", "broker"] }
      c3 = { number = 12, roles = ["controller", "alerting"] }
      e1 = { number = 13, roles = ["elasticsearch", "indexing"], disk_gb = 200 }
      e2 = { number = 14, roles = ["elasticsearch", "kibana", "standby", "collecting", "services"] }
    }
  }

  assert {
    condition     = length(distinct([for machine in values(output.inventory.machines) : machine.address])) == 5
    error_message = "Addresses differ."
  }
  assert {
    condition     = length(distinct(local.host_ports)) == length(local.host_ports) && length(local.host_ports) == 10
    error_message = "Host ports differ: five of SSH, two of brokers, two of Elasticsearch, one of Kibana."
  }
  assert {
    condition     = output.inventory.machines.e2.forwards.ssh.host_port == 3014 && output.inventory.machines.e2.forwards.kibana.host_port == 19614
    error_message = "A base that is not given keeps its default."
  }
  assert {
    condition     = yamldecode(local.seeds.e1["network-config"]).ethernets.vigil.addresses == ["192.168.40.13/25"]
    error_message = "The prefix length follows the network."
  }
  assert {
    condition     = yamldecode(local.seeds.e1["network-config"]).ethernets.vigil.nameservers.addresses == ["9.9.9.9", "149.112.112.112"]
    error_message = "Name servers are optional, and follow where they are given."
  }
}

run "only_what_matters_makes_a_machine_anew" {
  command = plan
  variables {
    nodes = {
      producer = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      consumer = { number = 12, roles = ["broker", "elasticsearch", "alerting"] }
    }
  }
  assert {
    condition     = !can(terraform_data.machine["producer"].triggers_replace.roles)
    error_message = "Other roles change forwards, not machines."
  }
}
