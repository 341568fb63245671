package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Run starts answering on port 53 of addresses and returns when the first table is complete. It goes on until ctx ends.
func Run(ctx context.Context, client kubernetes.Interface, domain string, addresses []string) error {
	var table atomic.Pointer[Table]
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	slices := factory.Discovery().V1().EndpointSlices()
	// A test cluster is small: every change makes the whole table anew.
	rebuild := func() {
		s, err := services.Lister().List(labels.Everything())
		e, err2 := slices.Lister().List(labels.Everything())
		if errors.Join(err, err2) == nil {
			table.Store(NewTable(domain, s, e))
		}
	}
	changed := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { rebuild() },
		UpdateFunc: func(any, any) { rebuild() },
		DeleteFunc: func(any) { rebuild() },
	}
	for _, informer := range []cache.SharedIndexInformer{services.Informer(), slices.Informer()} {
		if _, err := informer.AddEventHandler(changed); err != nil {
			return fmt.Errorf("watching services: %w", err)
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("watching %s: %w", kind, context.Cause(ctx))
		}
	}
	rebuild()
	return listen(ctx, addresses, func(w dns.ResponseWriter, query *dns.Msg) {
		_ = w.WriteMsg(table.Load().Answer(query))
	})
}

func listen(ctx context.Context, addresses []string, handler dns.HandlerFunc) error {
	for _, address := range addresses {
		packets, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
		if err != nil {
			return fmt.Errorf("listening for DNS: %w", err)
		}
		streams, err := net.Listen("tcp", net.JoinHostPort(address, "53"))
		if err != nil {
			return fmt.Errorf("listening for DNS: %w", err)
		}
		for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: streams, Handler: handler}} {
			go func() { _ = server.ActivateAndServe() }()
			context.AfterFunc(ctx, func() { _ = server.Shutdown() })
		}
	}
	return nil
}

// Publish makes Service kube-system/kube-dns, which leads pods from its address to the node's port 53.
func Publish(ctx context.Context, client kubernetes.Interface, clusterIP, address string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not possible within 30s"))
	defer cancel()
	service, slice := objects(clusterIP, address)
	for {
		_, err := client.CoreV1().Services(service.Namespace).Create(ctx, service, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			_, err = client.DiscoveryV1().EndpointSlices(slice.Namespace).Create(ctx, slice, metav1.CreateOptions{})
		}
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		// The API server makes namespace kube-system a moment after it's ready.
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("publishing kube-dns: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publishing kube-dns: %w; last answer: %w", context.Cause(ctx), err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func objects(clusterIP, address string) (*corev1.Service, *discoveryv1.EndpointSlice) {
	meta := metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"}}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: clusterIP}}
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: "kube-dns", discoveryv1.LabelManagedBy: "pillion-test-cluster"}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}}},
	}
	for name, protocol := range map[string]corev1.Protocol{"dns": corev1.ProtocolUDP, "dns-tcp": corev1.ProtocolTCP} {
		port := int32(53)
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: name, Protocol: protocol, Port: port})
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &port})
	}
	return service, slice
}
