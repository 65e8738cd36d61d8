terraform {
  # terraform_data is built in, so nothing is fetched from a registry. OpenTofu takes the same.
  required_version = ">= 1.6"

  # The state's file is chosen at `init` (-backend-config=path=FILE); else it is terraform.tfstate in this folder.
  backend "local" {}
}
