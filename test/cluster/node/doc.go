// Package node is the machine a test cluster's node believes to have: mounts, links, addresses, a way in. Everything is
// made inside namespaces that vanish with their first process. In: nothing but the namespaces it runs in. Out: a place
// where kubelet and containerd start and the rest of the machine isn't touched. Linux only. Start with mount_linux.go.
package node
