// Print each object with its place in metres and its box in the image of the same moment.
//
// cmake -S examples -B build/examples && cmake --build build/examples
// build/examples/locate_in_image --ros-args -r image_raw:=/camera/color/image_raw

#include <cstdio>
#include <memory>
#include <string>

#if __has_include(<message_filters/time_synchronizer.hpp>)
#include <message_filters/time_synchronizer.hpp>
#else
#include <message_filters/time_synchronizer.h>  // Humble
#endif
#include <rclcpp/rclcpp.hpp>
#include <sensor_msgs/msg/image.hpp>
#include <vision_msgs/msg/detection2_d_array.hpp>
#include <vision_msgs/msg/detection3_d_array.hpp>

using sensor_msgs::msg::Image;
using vision_msgs::msg::Detection2DArray;
using vision_msgs::msg::Detection3DArray;

// Images that wait for their objects: more than the camera's rate (Hz) times the latency of detector and locator (s).
constexpr int kQueue = 15;

class LocateInImage : public rclcpp::Node {
 public:
  LocateInImage() : Node("locate_in_image"), triples_(kQueue) {
    // Detector and locator copy the stamp of the image bit for bit, so an exact match finds the one image.
    triples_.registerCallback(&LocateInImage::on_triple, this);
    // Subscriptions of rclcpp, because message_filters::Subscriber takes another type of QoS in each distribution.
    const auto camera = rclcpp::SensorDataQoS().keep_last(kQueue);  // best effort matches every camera
    images_ = create_subscription<Image>(
        "image_raw", camera, [this](Image::ConstSharedPtr message) { triples_.add0(message); });
    boxes_ = create_subscription<Detection2DArray>(
        "detections", kQueue, [this](Detection2DArray::ConstSharedPtr message) { triples_.add1(message); });
    places_ = create_subscription<Detection3DArray>(
        "detections_3d", kQueue, [this](Detection3DArray::ConstSharedPtr message) { triples_.add2(message); });
  }

 private:
  void on_triple(const Image::ConstSharedPtr& image, const Detection2DArray::ConstSharedPtr& boxes,
                 const Detection3DArray::ConstSharedPtr& places) {
    for (const auto& place : places->detections) {
      for (const auto& box : boxes->detections) {
        if (place.id.empty() || box.id != place.id) continue;  // tracking:=true gives objects their ids
        const auto& result = place.results[0];
        const auto& at = result.pose.pose.position;
        const auto& centre = box.bbox.center.position;
        std::printf("%s %s at %.2f %.2f %.2f m in %s, at column %.0f row %.0f of a %ux%u image\n",
                    result.hypothesis.class_id.c_str(), place.id.c_str(), at.x, at.y, at.z,
                    places->header.frame_id.c_str(), centre.x, centre.y, image->width, image->height);
      }
    }
    std::fflush(stdout);
  }

  rclcpp::Subscription<Image>::SharedPtr images_;
  rclcpp::Subscription<Detection2DArray>::SharedPtr boxes_;
  rclcpp::Subscription<Detection3DArray>::SharedPtr places_;
  message_filters::TimeSynchronizer<Image, Detection2DArray, Detection3DArray> triples_;
};

int main(int argc, char** argv) {
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<LocateInImage>());
  rclcpp::shutdown();
}
