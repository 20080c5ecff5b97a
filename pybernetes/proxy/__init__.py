"""Services to nftables."""
