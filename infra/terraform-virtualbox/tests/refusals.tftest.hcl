# What is refused, each with its reason, before anything is planned.

variables {
  state_dir      = "/var/empty/vigil"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me@here"
  image = {
    source   = "/images/debian-12-generic-amd64.tar.xz"
    checksum = "sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "no_network" {
  command = plan
  variables {
    network = "10.77.0.300/24"
  }
  expect_failures = [var.network]
}

run "host_bits" {
  command = plan
  variables {
    network = "10.77.0.1/24"
  }
  expect_failures = [var.network]
}

run "public_network" {
  command = plan
  variables {
    network = "8.8.8.0/24"
  }
  expect_failures = [var.network]
}

run "network_too_small" {
  command = plan
  variables {
    network = "10.77.0.0/30"
  }
  expect_failures = [var.network]
}

run "ipv6_network" {
  command = plan
  variables {
    network = "fd00::/64"
  }
  expect_failures = [var.network]
}

run "short_checksum" {
  command = plan
  variables {
    image = { source = "/a.vmdk", checksum = "sha256:00" }
  }
  expect_failures = [var.image]
}

run "md5_checksum" {
  command = plan
  variables {
    image = { source = "/a.vmdk", checksum = "md5:00000000000000000000000000000000" }
  }
  expect_failures = [var.image]
}

run "plain_http" {
  command = plan
  variables {
    image = { source = "http://images/a.vmdk", checksum = "sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" }
  }
  expect_failures = [var.image]
}

run "qcow2_format" {
  command = plan
  variables {
    image = { source = "/a.qcow2", checksum = "sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", format = "qcow2" }
  }
  expect_failures = [var.image]
}

run "unknown_role" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting", "database"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "no_role" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = [] }
    }
  }
  expect_failures = [var.nodes]
}

run "role_twice" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "same_number" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 11, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "number_of_the_gateway" {
  command = plan
  variables {
    nodes = {
      a = { number = 1, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "broken_number" {
  command = plan
  variables {
    nodes = {
      a = { number = 11.5, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "two_controllers" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = ["controller", "elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "no_broker" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "indexing", "collecting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "two_alerting" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting", "alerting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "nobody_collects" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing"] }
      b = { number = 12, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "two_kibanas" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting", "kibana"] }
      b = { number = 12, roles = ["elasticsearch", "alerting", "kibana"] }
    }
  }
  expect_failures = [var.nodes]
}

run "standby_beside_alerting" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 12, roles = ["elasticsearch", "alerting", "standby"] }
    }
  }
  expect_failures = [var.nodes]
}

run "bad_name" {
  command = plan
  variables {
    nodes = {
      Producer = { number = 11, roles = ["controller", "broker", "elasticsearch", "indexing", "collecting", "alerting"] }
    }
  }
  expect_failures = [var.nodes]
}

run "little_memory" {
  command = plan
  variables {
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "elasticsearch", "indexing", "collecting", "alerting"], memory_mb = 100 }
    }
  }
  expect_failures = [var.nodes]
}

run "number_outside_the_network" {
  command = plan
  variables {
    network = "10.77.0.0/28"
    nodes = {
      a = { number = 11, roles = ["controller", "broker", "indexing", "collecting"] }
      b = { number = 20, roles = ["elasticsearch", "alerting"] }
    }
  }
  expect_failures = [terraform_data.network]
}

run "same_host_port" {
  command = plan
  variables {
    port_bases = { ssh = 19000 }
  }
  expect_failures = [terraform_data.network]
}

run "low_port" {
  command = plan
  variables {
    port_bases = { ssh = 22 }
  }
  expect_failures = [var.port_bases]
}

run "rsa_key" {
  command = plan
  variables {
    ssh_public_key = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7"
  }
  expect_failures = [var.ssh_public_key]
}

run "two_keys" {
  command = plan
  variables {
    ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA a\nssh-ed25519 AAAA b"
  }
  expect_failures = [var.ssh_public_key]
}

run "bad_deployment" {
  command = plan
  variables {
    deployment = "Vigil one"
  }
  expect_failures = [var.deployment]
}

run "unknown_guest" {
  command = plan
  variables {
    guest_family = "windows"
  }
  expect_failures = [var.guest_family]
}

run "bad_dns" {
  command = plan
  variables {
    dns = ["nameserver"]
  }
  expect_failures = [var.dns]
}

run "bad_owner" {
  command = plan
  variables {
    owner = "two words"
  }
  expect_failures = [var.owner]
}

run "long_stop" {
  command = plan
  variables {
    stop_timeout_s = 100000
  }
  expect_failures = [var.stop_timeout_s]
}
