package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig is a kubeconfig file for one user of the API server at server, certificates inside.
func Kubeconfig(server, user string, ca []byte, client Pair) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["pillion"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: client.Cert, ClientKeyData: client.Key}
	config.Contexts["pillion"] = &clientcmdapi.Context{Cluster: "pillion", AuthInfo: user}
	config.CurrentContext = "pillion"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("writing a kubeconfig for %q: %w", user, err)
	}
	return data, nil
}

// WriteKubeconfig writes it to path.
func WriteKubeconfig(path, server, user string, ca []byte, client Pair) error {
	data, err := Kubeconfig(server, user, ca, client)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig for %q: %w", user, err)
	}
	return nil
}
