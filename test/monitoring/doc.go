// Package monitoring tests config/monitoring: Prometheus's own engine evaluates each alert over samples that must raise it
// and over samples that mustn't, and every metric that rules and dashboard name is one the operator has. It is a module of
// its own, for the product needs no Prometheus.
package monitoring
