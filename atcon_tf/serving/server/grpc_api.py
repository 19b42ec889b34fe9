"""gRPC as TensorFlow Serving speaks it: Predict, GetModelMetadata, status.

Clients written with tensorflow-serving-api for the real server work here.
"""

from concurrent import futures

from google.protobuf import any_pb2
import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from atcon_tf.config import UserError
from atcon_tf.serving.server import access
from atcon_tf.serving.server import served_model

_CODES = {400: grpc.StatusCode.INVALID_ARGUMENT,
          404: grpc.StatusCode.NOT_FOUND,
          503: grpc.StatusCode.RESOURCE_EXHAUSTED,
          504: grpc.StatusCode.DEADLINE_EXCEEDED}


def make_server(model, address, timeout, max_bytes, observe, key="", tls=None):
  """Builds a server that is not started yet.

  Args:
    model: a `ServedModel`.
    address: "host:port"; port 0 picks one.
    timeout: seconds a request may take.
    max_bytes: of a message.
    observe: `prometheus_metrics.Metrics.observe`.
    key: that calls must have; "": none is needed.
    tls: the contents of the certificate and its key; None: without TLS.
  Returns:
    the server and its port.
  Raises:
    UserError: the server cannot listen at the address.
  """
  # The workers of `model` compute; these threads only wait for them.
  server = grpc.server(
      futures.ThreadPoolExecutor(model.room, "grpc"),
      maximum_concurrent_rpcs=model.room,
      interceptors=[access.KeyInterceptor(key)] if key else None,
      options=[("grpc.max_receive_message_length", max_bytes),
               ("grpc.max_send_message_length", -1),
               # Otherwise two servers could listen at one port, and each
               # request would reach one of them by chance.
               ("grpc.so_reuseport", 0)])
  service = _Prediction(model, timeout, observe)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
      service, server)
  model_service_pb2_grpc.add_ModelServiceServicer_to_server(
      _Model(model), server)
  try:
    if tls is None:
      return server, server.add_insecure_port(address)
    certificate, private = tls
    return server, server.add_secure_port(
        address, grpc.ssl_server_credentials([(private, certificate)]))
  except RuntimeError as error:
    host, _, port = address.rpartition(":")
    raise UserError("grpc_port", port, f"cannot listen there on {host}; is "
                    "the port taken?") from error


def _check_target(model, spec):
  version = spec.version.value if spec.HasField("version") else None
  model.check_target(spec.name, version)


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
  """PredictionService."""

  def __init__(self, model, timeout, observe):
    self.model, self.timeout, self.observe = model, timeout, observe

  def Predict(self, request, context):
    """Runs a signature on tensors."""
    signature = request.model_spec.signature_name or "serving_default"
    try:
      with self.observe("grpc") as seen:
        seen.signature = signature
        _check_target(self.model, request.model_spec)
        left = context.time_remaining()
        timeout = min(self.timeout, left) if left else self.timeout
        return self.model.call(lambda: self._answer(request, signature),
                               timeout)
    except served_model.Refused as error:
      context.abort(_CODES[error.status], error.message)

  def _answer(self, request, signature):
    self.model.check_shapes(signature, {
        name: [d.size for d in value.tensor_shape.dim]
        for name, value in request.inputs.items()})
    try:
      inputs = {name: tf.make_ndarray(value)
                for name, value in request.inputs.items()}
    except Exception as error:  # a broken tensor raises several kinds
      raise served_model.Refused(
          400, f"inputs: not a tensor: {str(error)[:160]}") from error
    answer = self.model.predict(signature, inputs)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = self.model.name
    response.model_spec.version.value = self.model.version
    response.model_spec.signature_name = signature
    wanted = set(request.output_filter) or set(answer)
    if not wanted <= set(answer):
      raise served_model.Refused(
          400, f"output_filter {sorted(wanted - set(answer))}: must be of "
          f"{sorted(answer)}")
    for name in sorted(wanted):
      response.outputs[name].CopyFrom(tf.make_tensor_proto(answer[name]))
    return response

  def GetModelMetadata(self, request, context):
    """The signatures."""
    try:
      _check_target(self.model, request.model_spec)
    except served_model.Refused as error:
      context.abort(_CODES[error.status], error.message)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = self.model.name
    response.model_spec.version.value = self.model.version
    defs = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in self.model.signature_defs.items():
      defs.signature_def[name].CopyFrom(definition)
    packed = any_pb2.Any()
    packed.Pack(defs)
    response.metadata["signature_def"].CopyFrom(packed)
    return response


class _Model(model_service_pb2_grpc.ModelServiceServicer):
  """ModelService."""

  def __init__(self, model):
    self.model = model

  def GetModelStatus(self, request, context):
    """The version that is served."""
    try:
      _check_target(self.model, request.model_spec)
    except served_model.Refused as error:
      context.abort(_CODES[error.status], error.message)
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(
        version=self.model.version,
        state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    return response
