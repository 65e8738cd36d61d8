variable "deployment" {
  description = "Name of the deployment: machines are named DEPLOYMENT-NODE in VirtualBox, the NAT network DEPLOYMENT."
  type        = string
  default     = "vigil"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", var.deployment))
    error_message = "deployment: lower case letters, digits and hyphens, at most 24, beginning with a letter."
  }
}

variable "state_dir" {
  description = "Folder of this deployment's machines, consoles and image cache (VIGIL_HOME/machines/DEPLOYMENT)."
  type        = string
  nullable    = false
  validation {
    condition     = length(var.state_dir) > 1 && !can(regex("[\"\\n]", var.state_dir))
    error_message = "state_dir: a folder of the deployment's own."
  }
}

variable "owner" {
  description = "Who owns what is made, written into VirtualBox. What has another owner is never touched. Null: from deployment and state_dir."
  type        = string
  default     = null
  validation {
    condition     = var.owner == null ? true : can(regex("^[^\\s\"]{1,300}$", var.owner))
    error_message = "owner: at most 300 characters without blanks and quotes."
  }
}

variable "network" {
  description = "IPv4 network of the machines, in CIDR form. Its first address is the gateway, the next two are VirtualBox's."
  type        = string
  default     = "10.77.0.0/24"
  nullable    = false
  validation {
    condition     = try(cidrhost(var.network, 0) == split("/", var.network)[0] && tonumber(split("/", var.network)[1]) >= 16 && tonumber(split("/", var.network)[1]) <= 28 && !strcontains(var.network, ":"), false)
    error_message = "network: an IPv4 network such as 10.77.0.0/24, with a prefix length from 16 to 28 and no host bits set."
  }
  validation {
    condition     = can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.network))
    error_message = "network: a private one (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16), since machines reach the world through NAT."
  }
}

variable "dns" {
  description = "Addresses of name servers for the machines; empty: none (machines that get their software by upload need none)."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for address in var.dns : can(cidrhost("${address}/32", 0))])
    error_message = "dns: IPv4 addresses."
  }
}

variable "nodes" {
  description = <<-TEXT
    The machines. `number` is the last part of the address; `roles` say what runs there and which forwards there are.
    Roles: controller, broker, elasticsearch, kibana, indexing, alerting, standby, collecting, services.
  TEXT
  type = map(object({
    number    = number
    roles     = list(string)
    cpus      = optional(number, 2)
    memory_mb = optional(number, 4096)
    disk_gb   = optional(number, 20)
  }))
  default = {
    producer = {
      number = 11
      roles  = ["controller", "broker", "indexing", "collecting", "services", "standby"]
    }
    consumer = {
      number = 12
      roles  = ["broker", "elasticsearch", "kibana", "alerting"]
    }
  }
  nullable = false
  validation {
    condition     = alltrue([for name, node in var.nodes : can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", name))])
    error_message = "nodes: names are host names: lower case letters, digits and hyphens, at most 24."
  }
  validation {
    condition = alltrue(flatten([
      for name, node in var.nodes : [for role in node.roles : contains(
        ["controller", "broker", "elasticsearch", "kibana", "indexing", "alerting", "standby", "collecting", "services"], role
      )]
    ]))
    error_message = "nodes: a role is unknown; there are controller, broker, elasticsearch, kibana, indexing, alerting, standby, collecting and services."
  }
  validation {
    condition     = alltrue([for name, node in var.nodes : length(node.roles) > 0 && length(distinct(node.roles)) == length(node.roles)])
    error_message = "nodes: each has at least one role, and each role once."
  }
  validation {
    condition     = length(distinct([for name, node in var.nodes : node.number])) == length(var.nodes)
    error_message = "nodes: two have the same number, and so the same address."
  }
  validation {
    condition     = alltrue([for name, node in var.nodes : node.number >= 4 && node.number <= 254 && floor(node.number) == node.number])
    error_message = "nodes: numbers are whole and from 4 to 254; .1 to .3 are VirtualBox's gateway, loopback and DHCP server."
  }
  validation {
    condition     = contains([1, 3], length([for name, node in var.nodes : name if contains(node.roles, "controller")]))
    error_message = "nodes: one or three of them are controllers: two survive no more than one does."
  }
  validation {
    condition = alltrue([
      for role in ["broker", "elasticsearch", "indexing"] :
      length([for name, node in var.nodes : name if contains(node.roles, role)]) > 0
    ])
    error_message = "nodes: at least one has the role broker, one elasticsearch and one indexing."
  }
  validation {
    condition = alltrue([
      for role in ["alerting", "collecting"] : length([for name, node in var.nodes : name if contains(node.roles, role)]) == 1
    ])
    error_message = "nodes: exactly one has the role alerting (others have standby), and one collecting."
  }
  validation {
    condition = alltrue([
      for role in ["kibana", "services"] : length([for name, node in var.nodes : name if contains(node.roles, role)]) <= 1
    ])
    error_message = "nodes: at most one has the role kibana, and one services."
  }
  validation {
    condition     = alltrue([for name, node in var.nodes : !(contains(node.roles, "alerting") && contains(node.roles, "standby"))])
    error_message = "nodes: standby belongs on another machine than alerting, since they would be lost together."
  }
  validation {
    condition     = alltrue([for name, node in var.nodes : node.cpus >= 1 && node.cpus <= 64 && node.memory_mb >= 1024 && node.disk_gb >= 4 && node.disk_gb <= 2048])
    error_message = "nodes: cpus from 1 to 64, memory_mb at least 1024, disk_gb from 4 to 2048."
  }
}

variable "image" {
  description = <<-TEXT
    The cloud image that all machines begin from, for x86-64 and with cloud-init in it.
    `source` is a path or an https URL. `checksum` is sha256:HEX or sha512:HEX, of that file as it is published.
    `format` is vmdk, vdi, raw, ova or tar.xz; auto looks at the file's first bytes. qcow2 is refused.
  TEXT
  type = object({
    source   = string
    checksum = string
    format   = optional(string, "auto")
  })
  nullable = false
  validation {
    condition     = can(regex("^https://[^\\s]+$", var.image.source)) || (!strcontains(var.image.source, "://") && length(var.image.source) > 0)
    error_message = "image.source: a path or an https URL."
  }
  validation {
    condition     = can(regex("^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$", var.image.checksum))
    error_message = "image.checksum: sha256: and 64 hex digits, or sha512: and 128; it is published beside the image."
  }
  validation {
    condition     = contains(["auto", "vmdk", "vdi", "raw", "ova", "tar.xz"], var.image.format)
    error_message = "image.format: auto, vmdk, vdi, raw, ova or tar.xz. VirtualBox cannot read qcow2 whole: take another file of the same image."
  }
}

variable "guest_family" {
  description = "What the image holds: debian or ubuntu. It only chooses VirtualBox's defaults for the machine."
  type        = string
  default     = "debian"
  nullable    = false
  validation {
    condition     = contains(["debian", "ubuntu"], var.guest_family)
    error_message = "guest_family: debian or ubuntu."
  }
}

variable "ssh_public_key" {
  description = "Public half of the operator's SSH key (Ed25519), as in id_ed25519.pub. The private half never comes here."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^ssh-ed25519 [A-Za-z0-9+/]{68}=*( [^\\n\"]*)?$", trimspace(var.ssh_public_key)))
    error_message = "ssh_public_key: one line that begins with ssh-ed25519."
  }
}

variable "port_bases" {
  description = "Host ports on 127.0.0.1 are these bases plus a node's number. Each machine has ssh; the others follow from roles."
  type = object({
    ssh           = optional(number, 2200)
    kafka         = optional(number, 19000)
    elasticsearch = optional(number, 19200)
    kibana        = optional(number, 19600)
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for base in values(var.port_bases) : base >= 1024 && base <= 65000 && floor(base) == base])
    error_message = "port_bases: from 1024 to 65000."
  }
}

variable "python" {
  description = "Python 3.11 or newer with pycdlib, for the program that calls VBoxManage."
  type        = string
  default     = "python3"
  nullable    = false
  validation {
    condition     = length(trimspace(var.python)) > 0
    error_message = "python: a program."
  }
}

variable "stop_timeout_s" {
  description = "Seconds a machine has to shut down after its power button, before it is powered off."
  type        = number
  default     = 90
  nullable    = false
  validation {
    condition     = var.stop_timeout_s >= 0 && var.stop_timeout_s <= 3600
    error_message = "stop_timeout_s: from 0 to 3600."
  }
}
